package forward

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// minSecretBytes is the least that Standard Webhooks asks for.
const minSecretBytes = 24

// Signer signs requests as Standard Webhooks does: HMAC-SHA256 of the id, the time and the body.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
type Signer struct{ secret []byte }

// NewSigner returns a signer for the text of a secret: "whsec_" and base64, or any other text, which
// is taken as it is. Space around it is ignored.
func NewSigner(text string) (*Signer, error) {
	text = strings.TrimSpace(text)
	secret := []byte(text)
	if encoded, ok := strings.CutPrefix(text, "whsec_"); ok {
		var err error
		if secret, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("the secret begins with whsec_, but the rest isn't base64")
		}
	}
	if len(secret) < minSecretBytes {
		return nil, errors.New("the secret must have at least 24 bytes; make one with: openssl rand -hex 32")
	}
	return &Signer{secret: secret}, nil
}

// sign adds the headers.
func (s *Signer) sign(header http.Header, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	header.Set("Webhook-Id", id)
	header.Set("Webhook-Timestamp", timestamp)
	header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
