package files

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/wire"
)

const defaultFileMode = 0o644

// Write replaces a file with the request's body, completely or not at all.
func Write(w http.ResponseWriter, r *http.Request) error {
	path, query, err := pathQuery(r)
	if err != nil {
		return err
	}
	mode, err := modeQuery(query.Get("mode"))
	if err != nil {
		return err
	}
	length := int64(-1)
	if text := query.Get("length"); text != "" {
		if length, err = strconv.ParseInt(text, 10, 64); err != nil || length < 0 {
			return wire.Invalid("length must be a number of bytes")
		}
	}
	body := &uploadBody{source: r.Body, length: length}
	if r.ContentLength >= 0 && length >= 0 && r.ContentLength != length {
		return body.mismatch(r.ContentLength)
	}
	if err := storeFile(path, mode, body); err != nil {
		return errFile(err, path)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func modeQuery(text string) (uint32, error) {
	if text == "" {
		return defaultFileMode, nil
	}
	mode, err := strconv.ParseUint(text, 8, 16)
	if err != nil || mode > 0o7777 {
		return 0, wire.Invalid("mode must be octal, such as 0644")
	}
	return uint32(mode), nil
}

// uploadBody reads a request body and fails unless it has its announced length.
type uploadBody struct {
	source io.Reader
	length int64 // -1: not announced
	read   int64
}

// copyTo copies the whole body into a file.
func (b *uploadBody) copyTo(file *os.File) error {
	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	for {
		count, err := b.source.Read(buffer[:])
		b.read += int64(count)
		if b.length >= 0 && b.read > b.length {
			return b.mismatch(b.read)
		}
		if count > 0 {
			if _, err := file.Write(buffer[:count]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return wire.Refuse(http.StatusBadRequest, "body_cut_off", "the body ended after %d bytes: %v", b.read, err)
		}
	}
	if b.length >= 0 && b.read != b.length {
		return b.mismatch(b.read)
	}
	return nil
}

func (b *uploadBody) mismatch(got int64) error {
	return wire.Refuse(http.StatusBadRequest, "length_mismatch", "the body has %d bytes or more, announced were %d", got, b.length)
}

// storeFile writes body to the file that path leads to.
func storeFile(path string, mode uint32, body *uploadBody) error {
	if strings.HasSuffix(path, "/") {
		return errIsDirectory(path)
	}
	target, info, err := followLinks(path)
	if err != nil {
		return err
	}
	directory := parentOf(target)
	owner, group := uint32(account.SandboxID), uint32(account.SandboxID)
	switch {
	case info == nil:
		if strings.HasSuffix(target, "/") {
			return errIsDirectory(path)
		}
		if err := makeParents(directory); err != nil {
			return err
		}
	case info.IsDir():
		return errIsDirectory(path)
	case info.Mode()&os.ModeCharDevice != 0:
		return storeInDevice(target, body)
	case !info.Mode().IsRegular():
		return errNotRegular(path)
	default:
		if raw, ok := info.Sys().(*syscall.Stat_t); ok {
			owner, group, mode = raw.Uid, raw.Gid, raw.Mode&0o7777
		}
	}
	draft, err := newDraft(directory)
	if err != nil {
		return err
	}
	defer draft.close()
	if err := body.copyTo(draft.file); err != nil {
		return err
	}
	// Ownership first: changing it clears set-uid bits.
	if err := draft.file.Chown(int(owner), int(group)); err != nil {
		return err
	}
	if err := syscall.Fchmod(int(draft.file.Fd()), mode); err != nil {
		return err
	}
	return draft.publish(filepath.Base(target))
}

func storeInDevice(path string, body *uploadBody) error {
	file, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return body.copyTo(file)
}
