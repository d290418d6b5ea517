"""How the nano world's clips and captions are read: a small encoder of both, trained on its rendered people."""
