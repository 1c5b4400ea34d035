package server

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

type stats struct {
	MemoryTotalBytes     uint64  `json:"memoryTotalBytes"`
	MemoryAvailableBytes uint64  `json:"memoryAvailableBytes"`
	DiskTotalBytes       uint64  `json:"diskTotalBytes"`
	DiskFreeBytes        uint64  `json:"diskFreeBytes"`
	Load1                float64 `json:"load1"`
	Processes            int     `json:"processes"`
	UptimeMs             int64   `json:"uptimeMs"`
}

func sendStats(w http.ResponseWriter) error {
	now := stats{MemoryTotalBytes: linux.MemoryTotal(), UptimeMs: linux.Uptime().Milliseconds()}
	now.MemoryAvailableBytes = memoryAvailable()
	var disk syscall.Statfs_t
	if err := syscall.Statfs("/", &disk); err != nil {
		return os.NewSyscallError("statfs", err)
	}
	now.DiskTotalBytes = disk.Blocks * uint64(disk.Bsize)
	now.DiskFreeBytes = disk.Bavail * uint64(disk.Bsize)
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(load), " ")
	if now.Load1, err = strconv.ParseFloat(first, 64); err != nil {
		return err
	}
	if now.Processes, err = countProcesses(); err != nil {
		return err
	}
	return wire.SendJSON(w, now)
}

// memoryAvailable is the kernel's estimate, in bytes; 0 if it gives none.
func memoryAvailable() uint64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "MemAvailable:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}

func countProcesses() (int, error) {
	directory, err := os.Open("/proc")
	if err != nil {
		return 0, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	count := 0
	for _, name := range names {
		if name[0] >= '1' && name[0] <= '9' {
			count++
		}
	}
	return count, err
}
