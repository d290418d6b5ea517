"""What is to be measured: items out of folders, tables and maps, and a word about everything that was left out."""
