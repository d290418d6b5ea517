"""Faces: backends behind one contract, the face pass over a clip, reference faces, their bank, and a
cache."""
