"""Which stages does each of the paper's sources go through, and a user's own folder?"""
