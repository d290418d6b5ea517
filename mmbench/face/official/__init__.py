"""Faces as the scripts of ConsisID, OpenS2V-Nexus and VBench-2.0 find, cut and embed them."""
