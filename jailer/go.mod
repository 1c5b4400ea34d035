module opencomputer.dev/jailer

go 1.26
