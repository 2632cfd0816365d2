return build('>c8I6I6', 'renewed ', now, counted_at) .. paid .. recipient .. head .. body
