package identity

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"opencomputer.dev/agent/internal/linux"
)

const (
	bootIDFile = "/proc/sys/kernel/random/boot_id"
	uuidFile   = "/proc/sys/kernel/random/uuid"
	// ownBootIDFile is mounted over the kernel's file. Like that one it is in
	// memory.
	ownBootIDFile = "/run/opencomputer/boot_id"
	// wholeProc is in a directory that only root may enter.
	wholeProc = "/run/opencomputer/whole/proc"
)

// PrepareBootID mounts a file with the same content over the kernel's boot id,
// which nobody can change. It does so once per boot. RenewBootID writes the file
// later, so that every mount namespace made in between sees the new id.
func (OwnMachine) PrepareBootID() error {
	if isOwn, err := onSameFileSystem(bootIDFile, filepath.Dir(ownBootIDFile)); err != nil || isOwn {
		return err // mounted by an agent that ran before this one
	}
	id, err := linux.ReadSmallFile(bootIDFile, 64)
	if err != nil {
		return err
	}
	if err := linux.WriteSmallFile(ownBootIDFile, id); err != nil {
		return err
	}
	if err := os.Chmod(ownBootIDFile, 0o444); err != nil {
		return err
	}
	// The kernel allows a mount of /proc in a user's namespace only where a /proc
	// without anything mounted over its files exists: bubblewrap, rootless podman
	// and unshare need this one.
	if err := os.MkdirAll(wholeProc, 0o700); err != nil {
		return err
	}
	const flags = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
	if err := syscall.Mount("proc", wholeProc, "proc", flags, ""); err != nil {
		return fmt.Errorf("mount %s: %w", wholeProc, err)
	}
	if err := syscall.Mount(ownBootIDFile, bootIDFile, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", bootIDFile, err)
	}
	if err := syscall.Mount("", bootIDFile, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY|flags, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", bootIDFile, err)
	}
	return nil
}

// RenewBootID gives the machine a boot id that differs from that of the machine
// whose memory it has, and makes the journal use it.
func (OwnMachine) RenewBootID() error {
	id, err := linux.ReadSmallFile(uuidFile, 64)
	if err != nil {
		return err
	}
	if err := linux.WriteSmallFile(ownBootIDFile, id); err != nil {
		return err
	}
	renewJournal()
	return nil
}

func onSameFileSystem(one, other string) (bool, error) {
	var first, second syscall.Stat_t
	if err := syscall.Stat(one, &first); err != nil {
		return false, &os.PathError{Op: "stat", Path: one, Err: err}
	}
	if err := syscall.Stat(other, &second); err != nil {
		return false, &os.PathError{Op: "stat", Path: other, Err: err}
	}
	return first.Dev == second.Dev, nil
}
