"""EasyAnimate-I2V."""
