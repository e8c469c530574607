from vmacore.nn.convolutional import Family as Family
