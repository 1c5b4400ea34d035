package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/linux"
)

const (
	sandboxUser    = "sandbox"
	sandboxID      = 1000
	maxAccountFile = 1 << 20
)

// account is a user of the guest that commands run as.
type account struct {
	name     string
	uid, gid uint32
	groups   []uint32
	home     string
}

// fileVersion tells whether a file has changed since it was parsed.
type fileVersion struct {
	inode   uint64
	size    int64
	changed time.Time
}

func versionOf(path string) fileVersion {
	info, err := os.Stat(path)
	if err != nil {
		return fileVersion{}
	}
	version := fileVersion{size: info.Size(), changed: info.ModTime()}
	if raw, ok := info.Sys().(*syscall.Stat_t); ok {
		version.inode = raw.Ino
	}
	return version
}

// accountCache keeps parsed accounts until passwd or group change.
var accountCache struct {
	mu       sync.Mutex
	versions [2]fileVersion
	accounts map[string]*account
}

// findAccount returns "sandbox" or "root" as /etc/passwd and /etc/group have
// them. A guest without a user sandbox runs commands as uid 1000.
func findAccount(name string) (*account, error) {
	cache := &accountCache
	cache.mu.Lock()
	defer cache.mu.Unlock()
	versions := [2]fileVersion{versionOf("/etc/passwd"), versionOf("/etc/group")}
	if cache.accounts == nil || cache.versions != versions {
		cache.accounts = make(map[string]*account)
		cache.versions = versions
	}
	if known := cache.accounts[name]; known != nil {
		return known, nil
	}
	passwd, passwdErr := linux.ReadSmallFile("/etc/passwd", maxAccountFile)
	group, groupErr := linux.ReadSmallFile("/etc/group", maxAccountFile)
	found := parseAccount(name, string(passwd), string(group))
	if found == nil && passwdErr != nil {
		return nil, fmt.Errorf("no user %s: %w", name, passwdErr)
	}
	if found == nil {
		return nil, fmt.Errorf("no user %s in /etc/passwd", name)
	}
	if groupErr == nil {
		cache.accounts[name] = found
	}
	return found, nil
}

func parseAccount(name, passwd, group string) *account {
	var found *account
	for line := range strings.Lines(passwd) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 7 || fields[0] != name {
			continue
		}
		uid, uidErr := strconv.ParseUint(fields[2], 10, 32)
		gid, gidErr := strconv.ParseUint(fields[3], 10, 32)
		if uidErr == nil && gidErr == nil {
			found = &account{name: name, uid: uint32(uid), gid: uint32(gid), home: fields[5]}
			break
		}
	}
	if found == nil {
		switch name {
		case "root":
			found = &account{name: name, home: "/root"}
		case sandboxUser:
			found = &account{name: name, uid: sandboxID, gid: sandboxID, home: "/home/sandbox"}
		default:
			return nil
		}
	}
	found.groups = []uint32{found.gid}
	for line := range strings.Lines(group) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), name) {
			continue
		}
		gid, err := strconv.ParseUint(fields[2], 10, 32)
		if err == nil && !slices.Contains(found.groups, uint32(gid)) {
			found.groups = append(found.groups, uint32(gid))
		}
	}
	return found
}

// defaultDirectory is the user's home, or / where that does not exist.
func (a *account) defaultDirectory() string {
	if info, err := os.Stat(a.home); err == nil && info.IsDir() && a.home != "" {
		return a.home
	}
	return "/"
}

const accessExecute = 1

// mayAccess judges by mode bits whether the user may use path and get there.
func (a *account) mayAccess(path string, bit uint32) bool {
	if a.uid == 0 {
		return true
	}
	for end := 1; end <= len(path); end++ {
		if end < len(path) && path[end] != '/' {
			continue
		}
		var info syscall.Stat_t
		if err := syscall.Stat(path[:end], &info); err != nil {
			return false
		}
		mode := info.Mode
		switch {
		case info.Uid == a.uid:
			mode >>= 6
		case slices.Contains(a.groups, info.Gid):
			mode >>= 3
		}
		if mode&bit == 0 {
			return false
		}
	}
	return true
}
