package files

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"opencomputer.dev/agent/internal/linux"
)

// openTemporary is O_TMPFILE: a file without a name, which disappears with its
// descriptor.
var openTemporary = map[string]int{"amd64": 0o20200000, "arm64": 0o20040000}[runtime.GOARCH]

const (
	atCurrentDirectory = -100  // AT_FDCWD
	atFollowSymlink    = 0x400 // AT_SYMLINK_FOLLOW
)

// draft is a file that is being written. It gets its name in one step at the end.
// Before that a crash leaves nothing of it, where the file system supports files
// without names.
type draft struct {
	file      *os.File
	directory string
	name      string // its temporary name, empty while it has none
}

func newDraft(directory string) (*draft, error) {
	file, err := os.OpenFile(directory, os.O_RDWR|openTemporary, 0o600)
	if err == nil {
		return &draft{file: file, directory: directory}, nil
	}
	if !linux.IsErrno(err, syscall.EOPNOTSUPP, syscall.EISDIR, syscall.EINVAL) {
		return nil, err
	}
	name := temporaryName()
	file, err = os.OpenFile(directory+"/"+name, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return &draft{file: file, directory: directory, name: name}, nil
}

func temporaryName() string { return ".upload-" + randomDigits() }

// randomDigits are enough hex digits for a unique name.
func randomDigits() string {
	var bytes [8]byte
	rand.Read(bytes[:])
	return hex.EncodeToString(bytes[:])
}

// publish renames the draft over name in its directory.
func (d *draft) publish(name string) error {
	if d.name == "" {
		temporary := temporaryName()
		source := "/proc/self/fd/" + strconv.Itoa(int(d.file.Fd()))
		if err := linkFollowing(source, d.directory+"/"+temporary); err != nil {
			return err
		}
		d.name = temporary
	}
	if err := syscall.Rename(d.directory+"/"+d.name, d.directory+"/"+name); err != nil {
		return err
	}
	d.name = ""
	return nil
}

// close ends the draft and removes what publish did not rename.
func (d *draft) close() {
	d.file.Close()
	if d.name != "" {
		// This fails only if the directory was removed meanwhile.
		_ = syscall.Unlink(d.directory + "/" + d.name)
	}
}

func linkFollowing(source, target string) error {
	from, fromErr := syscall.BytePtrFromString(source)
	to, toErr := syscall.BytePtrFromString(target)
	if err := errors.Join(fromErr, toErr); err != nil {
		return err
	}
	here := atCurrentDirectory
	_, _, errno := syscall.Syscall6(syscall.SYS_LINKAT, uintptr(here), uintptr(unsafe.Pointer(from)),
		uintptr(here), uintptr(unsafe.Pointer(to)), atFollowSymlink, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
