"""Figures for papers: rows in, matplotlib figures out; `style` sets and saves them (PDF, SVG, PNG)."""
