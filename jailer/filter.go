package main

import (
	"fmt"
	"syscall"
	"unsafe"
)

// System calls that the package syscall has no names for.
const (
	sysSetns  = 308
	sysClone3 = 435
)

// Classic BPF, as seccomp takes it (Linux, Documentation/userspace-api/seccomp_filter.rst).
const (
	loadWord       = 0x20
	jumpEqual      = 0x15
	jumpNotLess    = 0x35
	jumpAnyBit     = 0x45
	returnValue    = 0x06
	allow          = 0x7fff0000
	failWith       = 0x00050000
	killProcess    = 0x80000000
	offsetNumber   = 0
	offsetArch     = 4
	offsetArgument = 16 // The lower half of the first.
	archX86_64     = 0xc000003e
	x32Bit         = 0x40000000
	prSetSeccomp   = 22
	modeFilter     = 2
)

// Flags of clone for namespaces: mount, cgroup, UTS, IPC, user, PID, network.
const newNamespaces = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000

// denied are system calls that no machine needs and that reach far into the kernel, or to other processes. QEMU's own
// filter is applied as well: it forbids starting programs and changing users.
var denied = map[string]uint32{
	"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
	"process_madvise": 440, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
	"userfaultfd": 323, "keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321, "perf_event_open": 298,
	"unshare": 272, "setns": sysSetns, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
	"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
	"mount_setattr": 442, "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300,
	"link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266, "mknod": 133, "mknodat": 259,
	"kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176,
	"swapon": 167, "swapoff": 168, "reboot": 169, "acct": 163, "quotactl": 179, "quotactl_fd": 443,
	"sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "settimeofday": 164,
	"clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159, "syslog": 103, "personality": 135,
	"vhangup": 153, "modify_ldt": 154, "memfd_secret": 447,
}

// Families of sockets. Without internet access no socket can be made: QEMU gets those that it needs as descriptors.
var internetFamilies = []uint32{syscall.AF_UNIX, syscall.AF_INET, syscall.AF_INET6}

type instruction = syscall.SockFilter

func step(code uint16, value uint32) instruction { return instruction{Code: code, K: value} }

// unless returns a condition that skips this number of instructions when it does not hold.
func unless(code uint16, value uint32, skip uint8) instruction {
	return instruction{Code: code, Jf: skip, K: value}
}

func fail(errno syscall.Errno) instruction { return step(returnValue, failWith|uint32(errno)) }

// filter is the program that the kernel runs at each system call.
func filter(internet bool) []instruction {
	program := []instruction{
		step(loadWord, offsetArch),
		{Code: jumpEqual, Jt: 1, K: archX86_64},
		step(returnValue, killProcess),
		step(loadWord, offsetNumber),
		unless(jumpNotLess, x32Bit, 1),
		fail(syscall.EPERM),
		// The C library tries clone then, whose flags the filter can see.
		unless(jumpEqual, sysClone3, 1),
		fail(syscall.ENOSYS),
	}
	for _, number := range denied {
		program = append(program, unless(jumpEqual, number, 1), fail(syscall.EPERM))
	}
	program = append(program,
		unless(jumpEqual, syscall.SYS_CLONE, 4),
		step(loadWord, offsetArgument),
		unless(jumpAnyBit, newNamespaces, 1),
		fail(syscall.EPERM),
		step(returnValue, allow),
	)
	var families []uint32
	if internet {
		families = internetFamilies
	}
	for _, number := range []uint32{syscall.SYS_SOCKET, syscall.SYS_SOCKETPAIR} {
		body := []instruction{step(loadWord, offsetArgument)}
		for _, family := range families {
			body = append(body, unless(jumpEqual, family, 1), step(returnValue, allow))
		}
		body = append(body, fail(syscall.EPERM))
		program = append(program, unless(jumpEqual, number, uint8(len(body))))
		program = append(program, body...)
	}
	return append(program, step(returnValue, allow))
}

func installFilter(internet bool) error {
	program := filter(internet)
	described := syscall.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := prctl(prSetSeccomp, modeFilter, uintptr(unsafe.Pointer(&described))); err != nil {
		return fmt.Errorf("cannot install the filter of system calls: %w", err)
	}
	return nil
}
