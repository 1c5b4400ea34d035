package pid1

import (
	"log"
	"os"
	"path/filepath"
	"syscall"
)

type kernelMount struct {
	target, kind string
	flags        uintptr
	data         string
}

const (
	mountStrict = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
	mountSafe   = syscall.MS_NOSUID | syscall.MS_NODEV
)

var kernelMounts = []kernelMount{
	{"/proc", "proc", mountStrict, ""},
	{"/sys", "sysfs", mountStrict, ""},
	{"/dev", "devtmpfs", syscall.MS_NOSUID, "mode=0755"},
	{"/dev/pts", "devpts", syscall.MS_NOSUID | syscall.MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
	{"/dev/shm", "tmpfs", mountSafe, "mode=1777"},
	{"/run", "tmpfs", mountSafe, "mode=0755"},
	{"/sys/fs/cgroup", "cgroup2", mountStrict, "nsdelegate"},
}

// mountKernelFileSystems mounts what is not mounted yet. Failures are only logged:
// a machine that can report what is wrong is better than one that does not start.
func mountKernelFileSystems() {
	for _, wanted := range kernelMounts {
		if isMountPoint(wanted.target) {
			continue
		}
		if err := os.MkdirAll(wanted.target, 0o755); err != nil {
			log.Printf("mount point %s: %v", wanted.target, err)
			continue
		}
		if err := syscall.Mount(wanted.kind, wanted.target, wanted.kind, wanted.flags, wanted.data); err != nil {
			log.Printf("mount %s on %s: %v", wanted.kind, wanted.target, err)
		}
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, link); err != nil && !os.IsExist(err) {
			log.Printf("link %s: %v", link, err)
		}
	}
}

// isMountPoint reports whether another file system begins at path.
func isMountPoint(path string) bool {
	var here, above syscall.Stat_t
	if syscall.Lstat(path, &here) != nil || syscall.Lstat(filepath.Dir(path), &above) != nil {
		return false
	}
	return here.Dev != above.Dev
}
