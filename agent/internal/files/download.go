package files

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// copySize is the size of the pieces in which files are copied, in bytes: large,
// so that frames on the port are large, too.
const copySize = 512 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// Read streams a regular file.
func Read(w http.ResponseWriter, r *http.Request) error {
	path, _, err := pathQuery(r)
	if err != nil {
		return err
	}
	file, info, err := openRegular(path)
	if err != nil {
		return errFile(err, path)
	}
	defer file.Close()

	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	count, err := io.ReadFull(file, buffer[:])
	whole := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !whole {
		return errFile(err, path)
	}
	header := w.Header()
	header["Content-Type"] = []string{"application/octet-stream"}
	if whole {
		// The kernel's own files have a size only once they are read.
		header["Content-Length"] = []string{strconv.Itoa(count)}
		w.Write(buffer[:count])
		return nil
	}
	size := info.Size()
	if size < copySize {
		size = -1 // it has grown, or its size was unknown
	} else {
		header["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	}
	return streamFile(w, file, buffer, count, size)
}

// streamFile sends the filled bytes of buffer and then the rest of the file,
// exactly size bytes in all unless size is -1.
func streamFile(w http.ResponseWriter, file *os.File, buffer *[copySize]byte, filled int, size int64) error {
	for sent := int64(0); ; {
		if size >= 0 {
			filled = int(min(int64(filled), size-sent))
		}
		if filled > 0 {
			if _, err := w.Write(buffer[:filled]); err != nil {
				return nil // the host is gone
			}
			sent += int64(filled)
		}
		if sent == size {
			return nil
		}
		count, err := file.Read(buffer[:])
		if err != nil && !errors.Is(err, io.EOF) || count == 0 && size >= 0 {
			// Too late for an error body: break the stream, so that the host does
			// not take a part for the whole file.
			panic(http.ErrAbortHandler)
		}
		if count == 0 {
			return nil
		}
		filled = count
	}
}

// openRegular opens a regular file. It never blocks, whatever the path names.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	path = openable(path)
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if err := mustBeRegular(info, path); err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = file.Stat(); err == nil {
		err = mustBeRegular(info, path) // it may have been replaced
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func mustBeRegular(info os.FileInfo, path string) error {
	switch {
	case info.IsDir():
		return errIsDirectory(path)
	case !info.Mode().IsRegular():
		return errNotRegular(path)
	}
	return nil
}
