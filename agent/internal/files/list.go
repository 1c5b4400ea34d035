package files

import (
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"opencomputer.dev/agent/internal/wire"
)

const (
	maxListed     = 100_000
	listBatch     = 1024
	listFlushSize = 64 << 10
)

// List streams the entries of a directory, sorted by name.
func List(w http.ResponseWriter, r *http.Request) error {
	path, _, err := pathQuery(r)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return errFile(err, path)
	}
	if !info.IsDir() {
		return wire.Refuse(http.StatusConflict, "not_directory", "not a directory: %s", path)
	}
	names, truncated, err := directoryNames(path)
	if err != nil {
		return errFile(err, path)
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	prefix := strings.TrimRight(path, "/") + "/"
	body := []byte(`{"entries":[`)
	written := 0
	for _, name := range names {
		info, err := os.Lstat(prefix + name)
		if err != nil {
			continue // gone since its name was read
		}
		if written > 0 {
			body = append(body, ',')
		}
		written++
		body = appendEntry(body, name, prefix+name, info, leadsToDirectory(prefix+name, info))
		if len(body) >= listFlushSize {
			if _, err := w.Write(body); err != nil {
				return nil // the host is gone
			}
			body = body[:0]
		}
	}
	body = append(body, `],"truncated":`...)
	if truncated {
		body = append(body, "true}"...)
	} else {
		body = append(body, "false}"...)
	}
	w.Write(body)
	return nil
}

// directoryNames returns at most maxListed names, sorted.
func directoryNames(path string) (names []string, truncated bool, err error) {
	directory, err := os.Open(openable(path))
	if err != nil {
		return nil, false, err
	}
	defer directory.Close()
	for len(names) <= maxListed {
		batch, err := directory.Readdirnames(listBatch)
		names = append(names, batch...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false, err
		}
	}
	truncated = len(names) > maxListed
	if truncated {
		names = names[:maxListed]
	}
	slices.Sort(names)
	return names, truncated, nil
}
