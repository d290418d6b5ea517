"""What the models built on Wan 2.1 share: opening their folders, and tiny parts in their layout."""
