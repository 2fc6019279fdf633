"""The engines that run our SQL."""
