// Package account knows the users that commands run as: their ids and groups, home
// directories and environment.
package account

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

// The user that commands run as, and that owns the files that the host writes. ID
// is the number of the user and of its group.
const (
	Sandbox   = "sandbox"
	SandboxID = 1000
)

const maxFile = 1 << 20

// Account is a user of the guest that commands run as.
type Account struct {
	Name     string
	UID, GID uint32
	Groups   []uint32 // the account's own group is the first
	Home     string
}

// fileVersion shows whether a file has changed since it was parsed.
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

// cached keeps parsed accounts until passwd or group change.
var cached struct {
	mu       sync.Mutex
	versions [2]fileVersion
	accounts map[string]*Account
}

// Find returns the user "sandbox" or "root" as in /etc/passwd and /etc/group. In a
// guest without a user sandbox, commands run as uid 1000.
func Find(name string) (*Account, error) {
	cache := &cached
	cache.mu.Lock()
	defer cache.mu.Unlock()
	versions := [2]fileVersion{versionOf("/etc/passwd"), versionOf("/etc/group")}
	if cache.accounts == nil || cache.versions != versions {
		cache.accounts = make(map[string]*Account)
		cache.versions = versions
	}
	if known := cache.accounts[name]; known != nil {
		return known, nil
	}
	passwd, passwdErr := linux.ReadSmallFile("/etc/passwd", maxFile)
	group, groupErr := linux.ReadSmallFile("/etc/group", maxFile)
	found := parse(name, string(passwd), string(group))
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

func parse(name, passwd, group string) *Account {
	var found *Account
	for line := range strings.Lines(passwd) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 7 || fields[0] != name {
			continue
		}
		uid, uidErr := strconv.ParseUint(fields[2], 10, 32)
		gid, gidErr := strconv.ParseUint(fields[3], 10, 32)
		if uidErr == nil && gidErr == nil {
			found = &Account{Name: name, UID: uint32(uid), GID: uint32(gid), Home: fields[5]}
			break
		}
	}
	if found == nil {
		switch name {
		case "root":
			found = &Account{Name: name, Home: "/root"}
		case Sandbox:
			found = &Account{Name: name, UID: SandboxID, GID: SandboxID, Home: "/home/sandbox"}
		default:
			return nil
		}
	}
	found.Groups = []uint32{found.GID}
	for line := range strings.Lines(group) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), name) {
			continue
		}
		gid, err := strconv.ParseUint(fields[2], 10, 32)
		if err == nil && !slices.Contains(found.Groups, uint32(gid)) {
			found.Groups = append(found.Groups, uint32(gid))
		}
	}
	return found
}

// DefaultDirectory is the user's home, or / where that does not exist.
func (a *Account) DefaultDirectory() string {
	if info, err := os.Stat(a.Home); err == nil && info.IsDir() && a.Home != "" {
		return a.Home
	}
	return "/"
}

const accessExecute = 1

// MayEnter decides by mode bits whether the user may enter a directory and all
// directories above it.
func (a *Account) MayEnter(path string) bool {
	if a.UID == 0 {
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
		case info.Uid == a.UID:
			mode >>= 6
		case slices.Contains(a.Groups, info.Gid):
			mode >>= 3
		}
		if mode&accessExecute == 0 {
			return false
		}
	}
	return true
}
