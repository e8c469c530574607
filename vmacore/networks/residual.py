from vmacore.nn.residual_pyramid import Family as Family
