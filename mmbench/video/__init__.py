"""Videos in and out: one streamed decode for all passes, frame sampling, cadence check, deterministic writing."""
