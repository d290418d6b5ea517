"""From a request to frames: inputs, guidance, loading, modes."""
