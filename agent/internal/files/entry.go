package files

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/wire"
)

// appendEntry appends a FileEntry. isDir follows symbolic links.
func appendEntry(out []byte, name, path string, info os.FileInfo, isDir bool) []byte {
	out = append(out, `{"name":`...)
	out = wire.AppendString(out, name)
	out = append(out, `,"path":`...)
	out = wire.AppendString(out, path)
	out = append(out, ',')
	return append(appendAttributes(out, info, isDir), '}')
}

// appendAttributes appends the fields of a FileEntry other than name and path.
func appendAttributes(out []byte, info os.FileInfo, isDir bool) []byte {
	kind := "other"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		kind = "file"
	case mode.IsDir():
		kind = "directory"
	case mode&os.ModeSymlink != 0:
		kind = "symlink"
	}
	var permissions, uid, gid uint32
	if raw, ok := info.Sys().(*syscall.Stat_t); ok {
		permissions, uid, gid = raw.Mode&0o7777, raw.Uid, raw.Gid
	}
	out = append(out, `"type":"`...)
	out = append(out, kind...)
	out = append(out, `","isDir":`...)
	out = strconv.AppendBool(out, isDir)
	out = append(out, `,"size":`...)
	out = strconv.AppendInt(out, info.Size(), 10)
	out = append(out, `,"mode":"`...)
	out = appendMode(out, permissions)
	out = append(out, `","uid":`...)
	out = strconv.AppendUint(out, uint64(uid), 10)
	out = append(out, `,"gid":`...)
	out = strconv.AppendUint(out, uint64(gid), 10)
	out = append(out, `,"modifiedAt":"`...)
	out = info.ModTime().UTC().AppendFormat(out, time.RFC3339Nano)
	return append(out, '"')
}

// appendMode appends permission bits as four octal digits.
func appendMode(out []byte, mode uint32) []byte {
	for shift := 9; shift >= 0; shift -= 3 {
		out = append(out, '0'+byte(mode>>shift&7))
	}
	return out
}

// leadsToDirectory reports whether path, with links followed, is a directory.
func leadsToDirectory(path string, info os.FileInfo) bool {
	if info.Mode()&os.ModeSymlink == 0 {
		return info.IsDir()
	}
	target, err := os.Stat(path)
	return err == nil && target.IsDir()
}

// Stat answers with the entry of a file, links not followed.
func Stat(w http.ResponseWriter, r *http.Request) error {
	path, _, err := pathQuery(r)
	if err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return errFile(err, path)
	}
	wire.SendBody(w, http.StatusOK, appendEntry(nil, filepath.Base(path), path, info, leadsToDirectory(path, info)))
	return nil
}
