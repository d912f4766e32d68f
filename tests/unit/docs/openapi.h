/* The API as an OpenAPI 3.1 document, from routes.def, params.def, the types of schemas/job and journal/http/openapi/schemas.json. */
#pragma once
#include <stdbool.h>
#include <stdio.h>

bool hf_openapi_print(FILE *out);
