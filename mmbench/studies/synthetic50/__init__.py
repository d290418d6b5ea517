"""How the bundled set was screened, rendered and described."""
