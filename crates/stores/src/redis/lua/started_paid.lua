return build('>c8I6I6', 'started ', now, counted_at) .. paid
