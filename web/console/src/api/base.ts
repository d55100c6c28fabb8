/** The address of the API: next to the page, whatever prefix a proxy adds. */
export const API = new URL('../v1/', document.baseURI);
