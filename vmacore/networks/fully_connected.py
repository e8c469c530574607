from vmacore.nn.fully_connected import Family as Family
