"""How are the records built that Magic Mirror is trained on: what was taken, what was dropped, and why?"""
