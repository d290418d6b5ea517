"""The paper's ablations: the same training with one thing changed, measured in pairs, with what the paper claims.

`arms` says what is compared, `make` trains and samples, `measure` evaluates and compares, `page` writes it down.
"""
