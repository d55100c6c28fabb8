// Package rawjson reads JSON from outside by exact names.
//
// Package encoding/json matches the names of struct fields case-insensitively and with Unicode
// folding: "broadcaſt" sets a field meant for "broadcast". So everything that decides about
// permissions, rooms and users is read with this package instead. Names match exactly, and a number
// that names a room or a user has one text, however it was written.
package rawjson
