"""Boards: many submissions as one leaderboard (`build`), and what has changed between two of them (`diff`)."""
