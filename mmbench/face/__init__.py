"""Faces: backends behind one contract, the face pass over a clip, the people of a run, and a cache."""
