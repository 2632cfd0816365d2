return 'charged ' .. paid
