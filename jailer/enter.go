package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

const (
	sysMountSetattr    = 442
	mountReadOnly      = 0x1
	mountNoSetuid      = 0x2
	atEmptyPath        = 0x1000
	atRecursive        = 0x8000
	pathOnly           = 0x200000 // O_PATH
	tunSetInterface    = 0x400454ca
	tunGetFeatures     = 0x800454cf
	tunSetHeaderSize   = 0x400454d8
	tunTap             = 0x0002
	tunNoPacketInfo    = 0x1000
	tunVirtioHeader    = 0x4000
	virtioHeaderBytes  = 10
	interfaceNameBytes = 16
)

// enter leaves the host's network, and gives this thread a view of the host's file system in which it can write nothing
// and which has no devices and no other processes.
func enter(given options) error {
	if given.network != "" {
		if err := joinNetwork(given.network); err != nil {
			return err
		}
	}
	if given.tap != "" {
		if err := openTap(given.tap, given.tapDescriptor); err != nil {
			return err
		}
	}
	return isolate(given)
}

func joinNetwork(path string) error {
	namespace, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open the network namespace %s: %w", path, err)
	}
	_, _, errno := syscall.RawSyscall(sysSetns, uintptr(namespace), syscall.CLONE_NEWNET, 0)
	if errno != 0 {
		return fmt.Errorf("cannot join the network namespace %s: %w", path, errno)
	}
	return syscall.Close(namespace)
}

// openTap opens a tap device as QEMU would, so that QEMU needs no access to /dev/net/tun, with which any tap can be
// made.
func openTap(name string, descriptor int) error {
	tun, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open /dev/net/tun: %w", err)
	}
	request := func(what string, number uintptr, argument unsafe.Pointer) error {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(tun), number, uintptr(argument)); errno != 0 {
			return fmt.Errorf("cannot %s of %s: %w", what, name, errno)
		}
		return nil
	}
	var features uint32
	if err := request("read the features", tunGetFeatures, unsafe.Pointer(&features)); err != nil {
		return err
	}
	if len(name) >= interfaceNameBytes {
		return fmt.Errorf("%q is too long for a network interface", name)
	}
	var wanted struct {
		name  [interfaceNameBytes]byte
		flags uint16
		_     [22]byte
	}
	copy(wanted.name[:], name)
	wanted.flags = tunTap | tunNoPacketInfo | uint16(features)&tunVirtioHeader
	if err := request("attach to the tap device", tunSetInterface, unsafe.Pointer(&wanted)); err != nil {
		return err
	}
	if wanted.flags&tunVirtioHeader != 0 {
		size := int32(virtioHeaderBytes)
		if err := request("set the size of headers", tunSetHeaderSize, unsafe.Pointer(&size)); err != nil {
			return err
		}
	}
	if err := handOver(tun, descriptor); err != nil {
		return fmt.Errorf("cannot hand over %s as descriptor %d: %w", name, descriptor, err)
	}
	return nil
}

// handOver gives an open descriptor the number that the program expects, unless it has that number already.
func handOver(open, wanted int) error {
	if open != wanted {
		return syscall.Dup3(open, wanted, 0)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(open), syscall.F_SETFD, 0); errno != 0 {
		return errno
	}
	return nil
}

// isolate gives this thread its own mounts, host name and System V objects. All of the host's files become read-only,
// except those in the working directory.
func isolate(given options) error {
	kvm, err := deviceNumber(given.kvm)
	if err != nil {
		return err
	}
	err = syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS)
	if errors.Is(err, syscall.EPERM) && given.network == "" && given.kvm == "" {
		// Root in a container without CAP_SYS_ADMIN: only emulation with user networking runs there.
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot leave the host's mounts: %w", err)
	}
	work, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("the working directory has no path: %w", err)
	}
	if err := mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	// A mount of its own, to stay writable.
	if err := mount(work, work, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	if err := syscall.Chdir(work); err != nil {
		return fmt.Errorf("cannot go to %s: %w", work, err)
	}
	if err := makeReadOnly(); err != nil {
		return err
	}
	var keep string
	if given.internet {
		keep = resolverDirectory()
	}
	for _, path := range []string{"/tmp", "/var/tmp", "/run"} {
		if err := cover(path, keep); err != nil {
			return err
		}
	}
	if err := makeDevices(given, kvm); err != nil {
		return err
	}
	return hideProcesses()
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("cannot mount %s: %w", strings.TrimSpace(kind+" "+target), err)
	}
	return nil
}

// makeReadOnly needs Linux 5.12. On older kernels only the directories that every user may write are covered.
func makeReadOnly() error {
	change := func(path string, flags uintptr, set, clear uint64) error {
		name, err := syscall.BytePtrFromString(path)
		if err != nil {
			return err
		}
		attributes := [4]uint64{set, clear}
		here := -100 // AT_FDCWD
		_, _, errno := syscall.RawSyscall6(sysMountSetattr, uintptr(here), uintptr(unsafe.Pointer(name)),
			flags, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes), 0)
		if errno == syscall.ENOSYS {
			return nil
		}
		if errno != 0 {
			return fmt.Errorf("cannot change what %s allows: %w", path, errno)
		}
		return nil
	}
	if err := change("/", atRecursive, mountReadOnly|mountNoSetuid, 0); err != nil {
		return err
	}
	return change("", atEmptyPath, 0, mountReadOnly)
}

// resolverDirectory returns the directory of the resolver's configuration, which user networking reads again when it
// changes. On many hosts /etc has only a link to it. Empty where there is none.
func resolverDirectory() string {
	path, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return ""
	}
	return filepath.Dir(path)
}

// cover mounts an empty directory that nobody can write over one of the host's, if that exists. If keep is in that
// directory, it stays visible.
func cover(path, keep string) error {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	const flags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
	if !strings.HasPrefix(keep, path+"/") {
		return mount("jail", path, "tmpfs", flags|syscall.MS_RDONLY, "size=4k,mode=555")
	}
	kept, err := syscall.Open(keep, pathOnly|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", keep, err)
	}
	if err := mount("jail", path, "tmpfs", flags, "size=64k,mode=755"); err != nil {
		return err
	}
	syscall.Umask(0)
	if err := os.MkdirAll(keep, 0o755); err != nil {
		return err
	}
	// It is as read-only as the mount that it comes from.
	if err := mount(fmt.Sprintf("/proc/self/fd/%d", kept), keep, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	return mount("", path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY|flags, "")
}

func deviceNumber(path string) (uint64, error) {
	if path == "" {
		return 0, nil
	}
	var stat syscall.Stat_t
	if err := syscall.Stat(path, &stat); err != nil {
		return 0, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if stat.Mode&syscall.S_IFMT != syscall.S_IFCHR {
		return 0, fmt.Errorf("%s is no device", path)
	}
	return stat.Rdev, nil
}

// makeDevices mounts a /dev with the devices that QEMU opens. The KVM device in it belongs to the program's user,
// whoever may open that of the host.
func makeDevices(given options, kvm uint64) error {
	if err := mount("jail", "/dev", "tmpfs", syscall.MS_NOSUID|syscall.MS_NOEXEC, "size=64k,mode=755"); err != nil {
		return err
	}
	syscall.Umask(0)
	nodes := map[string]uint64{"null": 0x103, "zero": 0x105, "random": 0x108, "urandom": 0x109}
	for name, number := range nodes {
		if err := makeNode("/dev/"+name, 0o666, number); err != nil {
			return err
		}
	}
	if given.kvm != "" {
		if err := makeNode("/dev/kvm", 0o600, kvm); err != nil {
			return err
		}
		if err := os.Chown("/dev/kvm", given.uid, given.uid); err != nil {
			return err
		}
	}
	syscall.Umask(0o077)
	return mount("", "/dev", "", syscall.MS_REMOUNT|syscall.MS_RDONLY|syscall.MS_NOSUID|syscall.MS_NOEXEC, "")
}

func makeNode(path string, mode uint32, number uint64) error {
	if err := syscall.Mknod(path, syscall.S_IFCHR|mode, int(number)); err != nil {
		return fmt.Errorf("cannot make the device %s: %w", path, err)
	}
	return nil
}

// hideProcesses mounts a /proc that shows only processes of the program's user, and nothing of the system. Kernels
// before 5.8 refuse these options, since options of /proc apply to the whole host there: on these it shows nothing at
// all.
func hideProcesses() error {
	const flags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC | syscall.MS_RDONLY
	err := mount("jail", "/proc", "proc", flags, "hidepid=invisible,subset=pid")
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPERM) {
		return cover("/proc", "")
	}
	return err
}
