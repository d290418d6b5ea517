"""PubFig-50: lists as data, and the builder of the set."""
