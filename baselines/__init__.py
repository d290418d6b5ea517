"""Every rival behind one interface: contract, registry, one file a model."""
