// The page of the API: Swagger UI in the place of the list. It is its own file, for it is large.
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";

const place = document.getElementById("api-docs");
const root = document.documentElement;

// Swagger UI knows dark colours by a class; ours are an attribute that theme.js sets.
const paint = () => root.classList.toggle("dark-mode", root.dataset.bsTheme === "dark");
paint();
new MutationObserver(paint).observe(root, { attributeFilter: ["data-bs-theme"] });

SwaggerUI({
  domNode: place,
  url: place.dataset.description,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  // Nothing is sent to anybody else: no validator, no telemetry.
  validatorUrl: null,
});
