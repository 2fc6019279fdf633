"""Optional edges, one file each: what stands between Setpoint and other people's software."""
