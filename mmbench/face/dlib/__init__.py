"""dlib's detectors, landmarks and recogniser: the default face backend."""
