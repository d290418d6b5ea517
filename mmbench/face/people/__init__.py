"""The people of a run: the faces of their reference pictures, kept on disk, and the bank they are compared with."""
