"""PhotoMaker-V2, which makes first frames."""
