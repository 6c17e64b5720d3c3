module example.org/shop

go 1.23

require example.org/greeting v1.0.0

replace example.org/greeting => ./greeting
