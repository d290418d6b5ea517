"""CogVideoX-5B and CogVideoX-5B-I2V."""
