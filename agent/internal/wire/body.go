package wire

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
)

// MaxJSONBody bounds every JSON request, in bytes: enough for a command with 2 MiB
// of arguments, each byte of which may take six in JSON.
const MaxJSONBody = 13 << 20

// SendBody answers with a finished JSON body.
func SendBody(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body)
}

// SendJSON answers 200 with value as JSON.
func SendJSON(w http.ResponseWriter, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	SendBody(w, http.StatusOK, body)
	return nil
}

// ReadJSON decodes a bounded request body. An empty body is an empty object.
func ReadJSON(w http.ResponseWriter, r *http.Request, into any) error {
	if r.ContentLength > MaxJSONBody {
		return errBodyTooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxJSONBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return errBodyTooLarge()
		}
		return Invalid("the request body was cut off: %v", err)
	}
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return Invalid("the request body is not what this call takes: %v", err)
	}
	return nil
}

func errBodyTooLarge() error {
	return Refuse(http.StatusRequestEntityTooLarge, "too_large", "a JSON body may have at most %d bytes", MaxJSONBody)
}
