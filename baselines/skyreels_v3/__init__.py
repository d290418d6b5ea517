"""SkyReels-V3 on Wan 2.1, 14B, reference to video."""
