module opencomputer/initramfs

go 1.24
