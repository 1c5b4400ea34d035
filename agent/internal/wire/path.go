package wire

import (
	"net/http"
	"strings"
)

// MaxPath bounds paths, in bytes.
const MaxPath = 4096

// InvalidPath refuses a path: 400, invalid_path.
func InvalidPath(format string, values ...any) error {
	return Refuse(http.StatusBadRequest, "invalid_path", format, values...)
}

// CheckPath refuses everything but an absolute path that the kernel accepts.
func CheckPath(path string) error {
	switch {
	case path == "":
		return InvalidPath("the path is missing")
	case len(path) > MaxPath:
		return InvalidPath("the path has %d bytes, more than %d", len(path), MaxPath)
	case path[0] != '/':
		return InvalidPath("the path must be absolute: %.200q", path)
	case strings.Contains(path, "\x00"):
		return InvalidPath("the path contains NUL")
	}
	return nil
}
