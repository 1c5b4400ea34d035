module opencomputer.dev/agent

go 1.26
