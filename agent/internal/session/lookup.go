package session

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"opencomputer.dev/agent/internal/linux"
)

// resolve checks the working directory and finds the executable as a shell would,
// with the command's own PATH.
func (c *command) resolve() error {
	info, err := os.Stat(c.directory)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errStart("working directory does not exist: %s", c.directory)
	case linux.IsErrno(err, syscall.ENOTDIR) || err == nil && !info.IsDir():
		return errStart("working directory is not a directory: %s", c.directory)
	case err != nil:
		return errStart("working directory cannot be used: %v", err)
	}
	name := c.argv[0]
	if strings.Contains(name, "/") {
		return c.tryExecutable(name, name)
	}
	var unsuitable error
	for entry := range strings.SplitSeq(envValue(c.env, "PATH"), ":") {
		if entry == "" {
			entry = "."
		}
		err := c.tryExecutable(name, entry+"/"+name)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNotFound) && unsuitable == nil {
			unsuitable = err
		}
	}
	if unsuitable != nil {
		return unsuitable
	}
	return errStart("executable not found: %s", name)
}

// errNotFound marks a refusal that is only about a missing file.
var errNotFound = errors.New("not found")

type notFoundRefusal struct{ error }

func (notFoundRefusal) Is(target error) bool { return target == errNotFound }
func (n notFoundRefusal) Unwrap() error      { return n.error }

// tryExecutable accepts path, relative to the working directory, if anybody can
// execute it. The kernel checks the user's permission later.
func (c *command) tryExecutable(name, path string) error {
	seen := path
	if !filepath.IsAbs(path) {
		seen = filepath.Join(c.directory, path)
	}
	info, err := os.Stat(seen)
	switch {
	case errors.Is(err, os.ErrNotExist) || linux.IsErrno(err, syscall.ENOTDIR):
		return notFoundRefusal{errStart("executable not found: %s", name)}
	case err != nil:
		return errStart("executable cannot be used: %v", err)
	case info.IsDir():
		return errStart("not executable: %s is a directory", seen)
	case !info.Mode().IsRegular():
		return errStart("not executable: %s is not a regular file", seen)
	case info.Mode().Perm()&0o111 == 0:
		return errStart("not executable: %s has no execute permission", seen)
	}
	c.executable = seen
	return nil
}

func envValue(env []string, name string) string {
	for _, entry := range env {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}
